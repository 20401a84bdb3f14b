//! Room `workload`: see DESIGN.
