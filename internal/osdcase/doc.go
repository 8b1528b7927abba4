// Package osdcase has no code of its own: its tests carry disks of a real Ceph cluster through whole
// cases, with the engine, its store, the storage driver and the hands that production has.
//
// A failing disk with data on it must end as a closed case, with the same OSD id at the same CRUSH place
// and weight on another disk, every object as it was, no PG ever inactive, and no flag left; also when the
// repairer loses its memory after each entry of its log. They need root and the Ceph packages.
package osdcase
