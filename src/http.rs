//! Room `http`: see DESIGN.
