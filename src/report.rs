//! Room `report`: see DESIGN.
