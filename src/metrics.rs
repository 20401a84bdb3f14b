//! Room `metrics`: see DESIGN.
