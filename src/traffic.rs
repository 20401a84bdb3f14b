//! Room `traffic`: see DESIGN.
