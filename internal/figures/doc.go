// Package figures measures the whole repairer as its own process: how long a restart takes, and how much
// memory it has. It has tests only; make bench runs them.
package figures
