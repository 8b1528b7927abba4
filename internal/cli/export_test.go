package cli

// The small pure functions of the tables, for tests.
var (
	Age   = age
	Clean = clean
	Size  = size
)
