//! Room `rollout`: see DESIGN.
