package main

// caughtBy are seeds that have caught a variant before. They are tried first, and cost only time when they do so no more.
var caughtBy = map[string]uint64{
	"pause gate removed from the start":      33,
	"protection gate removed":                288,
	"plan gate removed":                      38,
	"freshness gate removed":                 103,
	"witness gate removed":                   2,
	"mode gate removed":                      1,
	"budgets not asked":                      1,
	"budget off by one":                      1,
	"one witness is enough":                  2,
	"approval hash not compared":             31,
	"pause ignored by what is under way":     15,
	"unknown treated as failed when opening": 1,
	"a missing disk opens a case":            3,
	"a missing disk counts as there":         2,
}
