//! Room `plan`: see DESIGN.
