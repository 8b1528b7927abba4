package config

// Positions is the index of key positions, for its own tests.
var Positions = positions

// Nearest is what the suggestions in errors come from.
var Nearest = nearest
