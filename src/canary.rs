//! Room `canary`: see DESIGN.
