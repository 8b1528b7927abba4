package nerved

// Garbage lets tests at the bound of garbage.
var Garbage = garbage
