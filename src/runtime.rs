//! Room `runtime`: see DESIGN.
