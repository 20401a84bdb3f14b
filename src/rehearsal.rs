//! Room `rehearsal`: see DESIGN.
