//! Room `cluster`: see DESIGN.
