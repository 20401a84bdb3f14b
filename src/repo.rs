//! Room `repo`: see DESIGN.
