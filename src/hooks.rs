//! Room `hooks`: see DESIGN.
