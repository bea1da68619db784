"""The sections of a recipe as typed models. The string under each field is its documentation."""
