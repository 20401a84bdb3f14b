//! Room `cli`: see DESIGN.
