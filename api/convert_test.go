package api_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// views draws fleet views with every field filled, whatever fields package glia gets.
func views() *rapid.Generator[glia.FleetView] {
	times := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	})
	states := rapid.Custom(func(t *rapid.T) glia.State { return glia.State(rapid.IntRange(0, 6).Draw(t, "state")) })
	return rapid.MakeCustom[glia.FleetView](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[time.Time](): times.AsAny(), reflect.TypeFor[glia.State](): states.AsAny(),
		reflect.TypeFor[int](): rapid.IntRange(0, 1<<30).AsAny(),
	}})
}

func TestConvert_LosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := views().Draw(t, "view")
		got := api.FleetViewFromProto(api.FleetViewToProto(v))
		if !reflect.DeepEqual(normal(v), normal(got)) {
			t.Fatalf("went out as\n%+v\ncame back as\n%+v", v, got)
		}
	})
}

// normal makes empty and nil lists the same, which they are to protobuf, and takes away what only the disk's own host
// knows.
func normal(v glia.FleetView) glia.FleetView {
	clean(reflect.ValueOf(&v).Elem())
	return v
}

func clean(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			clean(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		if l, ok := v.Addr().Interface().(*glia.Location); ok {
			l.DiskSeq = 0
		}
		for i := range v.NumField() {
			clean(v.Field(i))
		}
	}
}

func TestConvert_UnknownStatesOfNewerVersions(t *testing.T) {
	t.Parallel()
	if s := api.StateFromProto(gliav1.State(99)); s != glia.StateUnknown {
		t.Errorf("state 99 became %s", s)
	}
	if s := api.StateToProto(glia.State(-1)); s != gliav1.State_STATE_UNKNOWN {
		t.Errorf("state -1 became %s", s)
	}
	for s := glia.StateUnknown; s <= glia.StateFailed; s++ {
		if got := api.StateToProto(s).String(); got != "STATE_"+upper(s.String()) {
			t.Errorf("%s is %s", s, got)
		}
	}
}

func upper(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] -= 'a' - 'A'
	}
	return string(b)
}

func TestConvert_AbsentMessages(t *testing.T) {
	t.Parallel()
	if d := api.DiskStatusFromProto(nil); !reflect.DeepEqual(d, glia.DiskStatus{}) {
		t.Errorf("no disk became %+v", d)
	}
	if !api.TimeFromProto(nil).IsZero() || api.TimeToProto(time.Time{}) != nil {
		t.Error("the zero time is not an absent one")
	}
}
