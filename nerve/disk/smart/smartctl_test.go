package smart_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"glia/nerve/disk/smart"
)

// What smartctl prints of real drives and what the drives' own pages say is the same.
func TestReading_SmartctlAgreesWithThePages(t *testing.T) {
	t.Parallel()
	var byPages, byJSON smart.Reading
	seen := map[string]int{}
	for _, c := range captures(t) {
		out := map[string]any{"json_format_version": []int{1, 0}, "smartctl": map[string]any{"exit_status": 0}, "device": map[string]any{"protocol": c.Protocol}}
		switch c.Protocol {
		case "ATA":
			var table []any
			for _, a := range c.Attributes {
				table = append(table, map[string]any{"id": a.ID, "name": a.Name, "value": a.Value, "worst": a.Worst, "thresh": a.Thresh,
					"flags": map[string]any{"value": a.Flags}, "raw": map[string]any{"value": a.Raw}})
			}
			out["ata_smart_attributes"] = map[string]any{"table": table}
		case "NVMe":
			out["nvme_smart_health_information_log"] = c.NVMe
		case "SCSI":
			out["scsi_error_counter_log"], out["scsi_grown_defect_list"] = c.Counters, c.Grown
		}
		b, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		about, err := byJSON.Smartctl(b)
		if err != nil {
			t.Fatalf("%s: %v", c.Model, err)
		}
		seen[c.Protocol]++
		switch c.Protocol {
		case "ATA":
			data, thresholds := c.pages()
			if err := byPages.Data.Value.Decode(data); err != nil {
				t.Fatal(err)
			}
			if err := byPages.Thresholds.Value.Decode(thresholds); err != nil {
				t.Fatal(err)
			}
			if !byJSON.Data.Known || !reflect.DeepEqual(byJSON.Data.Value.Attributes, byPages.Data.Value.Attributes) || byJSON.Thresholds.Value != byPages.Thresholds.Value {
				t.Errorf("%s: %+v\nthe pages say %+v", c.Model, byJSON.Data.Value.Attributes, byPages.Data.Value.Attributes)
			}
			for _, a := range c.Attributes {
				if about.Names[a.ID] != a.Name {
					t.Errorf("%s: %d is called %q, not %q", c.Model, a.ID, about.Names[a.ID], a.Name)
				}
			}
		case "NVMe":
			if err := byPages.NVMe.Value.Decode(c.healthLog()); err != nil {
				t.Fatal(err)
			}
			j, p := &byJSON.NVMe.Value, &byPages.NVMe.Value
			if !byJSON.NVMe.Known || j.Warning != p.Warning || j.Spare != p.Spare || j.SpareThreshold != p.SpareThreshold || j.PercentUsed != p.PercentUsed || j.MediaErrors != p.MediaErrors || j.Temperature != p.Temperature {
				t.Errorf("%s: %+v\nthe log says %+v", c.Model, j, p)
			}
		case "SCSI":
			for name, page := range map[string]smart.Page[smart.ErrorCounters]{"read": byJSON.ReadErrors, "write": byJSON.WriteErrors, "verify": byJSON.VerifyErrors} {
				if w, ok := c.Counters[name]; ok != page.Known || ok && (page.Value.Uncorrected.Value != w.Uncorrected || !page.Value.Uncorrected.Valid) {
					t.Errorf("%s %s: %+v, want %+v", c.SCSIModel, name, page, w)
				}
			}
			if byJSON.Grown.Known != (c.Grown != nil) || c.Grown != nil && byJSON.Grown.Value.Value != *c.Grown {
				t.Errorf("%s: grown %+v", c.SCSIModel, byJSON.Grown)
			}
		}
	}
	if seen["ATA"] == 0 || seen["NVMe"] != 36 || seen["SCSI"] == 0 {
		t.Errorf("%v", seen)
	}
}

func TestReading_SmartctlLogs(t *testing.T) {
	t.Parallel()
	const head = `{"json_format_version":[1,0],"smartctl":{"version":[7,4],"exit_status":0},"device":{"protocol":%q},"serial_number":"S1",%s}`
	for _, c := range []struct {
		name, protocol, text string
		want                 func(*smart.Reading) bool
	}{
		{"statistics", "ATA", `"ata_device_statistics":{"pages":[{"number":4,"table":[{"offset":8,"value":12,"flags":{"valid":true}}]},{"number":6,"table":[{"offset":24,"value":3,"flags":{"valid":false}}]},{"number":7,"table":[{"offset":8,"value":99,"flags":{"valid":true}}]}]}`,
			func(r *smart.Reading) bool {
				s := r.Statistics.Value
				return r.Statistics.Known && s.Uncorrectable.Value == 12 && !s.CRCErrors.Valid && s.PercentUsed.Value == 99
			}},
		{"the extended log before the other", "ATA", `"ata_smart_self_test_log":{"standard":{"table":[{"status":{"value":0}}]},"extended":{"table":[{"type":{"value":2},"status":{"value":121},"lifetime_hours":7,"lba":55},{"status":{"value":0}}]}}`,
			func(r *smart.Reading) bool {
				n, ok := r.Tests.Value.Newest()
				return ok && n == smart.SelfTest{Result: smart.SelfTestFailed, Part: "read", Hours: 7, LBA: 55, HasLBA: true, Extended: true} && len(r.Tests.Value.Entries) == 2
			}},
		{"a log without tests", "ATA", `"ata_smart_self_test_log":{"standard":{"count":0}}`, func(r *smart.Reading) bool { _, ok := r.Tests.Value.Newest(); return r.Tests.Known && !ok }},
		{"a bad verdict", "ATA", `"smart_status":{"passed":false}`, func(r *smart.Reading) bool { return r.Health.Known && r.Health.Value == smart.HealthBad }},
		{"NVMe errors", "NVMe", `"nvme_error_information_log":{"size":64,"table":[{"error_count":9,"status_field":{"value":641,"status_code_type":2,"status_code":129},"lba":{"value":5}},{"error_count":8,"status_field":{"value":2,"status_code_type":0,"status_code":2}},{"error_count":7}]}`,
			func(r *smart.Reading) bool {
				e := r.NVMeErrors.Value.Entries
				return len(e) == 2 && e[0].Media() && e[0].LBA == 5 && !e[1].Media()
			}},
		{"NVMe tests", "NVMe", `"nvme_self_test_log":{"current_self_test_operation":{"value":0},"table":[{"self_test_code":{"value":2},"self_test_result":{"value":7},"power_on_hours":11}]}`,
			func(r *smart.Reading) bool {
				n, ok := r.Tests.Value.Newest()
				return ok && n.Hours == 11 && n.Result == smart.SelfTestFailed && n.Extended
			}},
		{"a count of 128 bits", "NVMe", `"nvme_smart_health_information_log":{"critical_warning":0,"available_spare":1,"available_spare_threshold":0,"percentage_used":0,"media_errors":"340282366920938463463374607431768211455"}`,
			func(r *smart.Reading) bool { return r.NVMe.Known && r.NVMe.Value.MediaErrors.Uint64() == ^uint64(0) }},
		{"half a health log", "NVMe", `"nvme_smart_health_information_log":{"temperature":35}`, func(r *smart.Reading) bool { return !r.NVMe.Known && r.NVMe.Err != nil }},
		{"SAS tests", "SCSI", `"scsi_self_test_0":{"code":{"value":1},"result":{"value":15}},"scsi_self_test_1":{"code":{"value":2},"result":{"value":7},"power_on_time":{"hours":100}},"scsi_self_test_2":{"result":{"value":0}}`,
			func(r *smart.Reading) bool {
				n, ok := r.Tests.Value.Newest()
				return ok && r.Tests.Value.Running && n.Hours == 100 && n.Result == smart.SelfTestFailed && n.Extended && len(r.Tests.Value.Entries) == 3
			}},
		{"SAS prediction", "SCSI", `"smart_status":{"passed":false,"scsi":{"asc":93,"ascq":16,"ie_string":"x"}},"scsi_percentage_used_endurance_indicator":4,"temperature":{"current":30}`,
			func(r *smart.Reading) bool {
				return r.Exception.Value.Prediction() == smart.PredictFailure && r.Endurance.Value.Value == 4 && r.Temperature.Value.Value == 30
			}},
		{"a prediction that is not told", "SCSI", `"smart_status":{"passed":false}`, func(r *smart.Reading) bool { return !r.Exception.Known && r.Exception.Err != nil }},
		{"less than nothing", "SCSI", `"scsi_grown_defect_list":-1`, func(r *smart.Reading) bool { return !r.Grown.Known }},
	} {
		var r smart.Reading
		about, err := r.Smartctl(fmt.Appendf(nil, head, c.protocol, c.text))
		if err != nil || about.Serial != "S1" || !c.want(&r) {
			t.Errorf("%s: %+v, %v", c.name, about, err)
		}
	}
}

func TestReading_SmartctlRefuses(t *testing.T) {
	t.Parallel()
	const good = `"json_format_version":[1,0],"smartctl":{"exit_status":0},"device":{"protocol":"ATA"}`
	for name, c := range map[string]struct{ text, want string }{
		"nothing":               {"", "unexpected end"},
		"words":                 {"smartctl 6.6 2017-11-05", "invalid character"},
		"half":                  {"{" + good, "unexpected end"},
		"two documents":         {"{" + good + "}{}", "after top-level value"},
		"no format":             {"{}", "JSON format 1"},
		"another format":        {`{"json_format_version":[2,0],"smartctl":{"exit_status":0}}`, "but [2 0]"},
		"no status":             {`{"json_format_version":[1,0],"smartctl":{}}`, "JSON format 1"},
		"another protocol":      {strings.Replace("{"+good+"}", "ATA", "MMC", 1), `protocol "MMC"`},
		"a value that is large": {"{" + good + `,"ata_smart_attributes":{"table":[{"id":5,"value":300}]}}`, "300"},
		"a value of words":      {"{" + good + `,"ata_smart_attributes":{"table":[{"id":"5"}]}}`, "string"},
		"not opened":            {`{"json_format_version":[1,0],"smartctl":{"exit_status":2,"messages":[{"string":"Smartctl open device: /dev/sda [megaraid_disk_04] failed: INQUIRY failed","severity":"error"}]}}`, "status 2: Smartctl open device: /dev/sda [megaraid_disk_04] failed: INQUIRY failed"},
		"unknown type":          {`{"json_format_version":[1,0],"smartctl":{"exit_status":1,"messages":[{"string":"Unknown device type 'x'","severity":"error"}]}}`, "status 1: Unknown device type 'x'"},
		"a self-test of words":  {strings.Replace("{"+good+`,"scsi_self_test_0":{"result":"x"}}`, "ATA", "SCSI", 1), "self-test 0"},
		"a count of words":      {strings.Replace("{"+good+`,"nvme_smart_health_information_log":{"media_errors":"many"}}`, "ATA", "NVMe", 1), "no count"},
	} {
		var r smart.Reading

		if _, err := r.Smartctl([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzReading_Smartctl(f *testing.F) {
	files, err := filepath.Glob("testdata/smartctl/*.json")
	if err != nil || len(files) != 6 {
		f.Fatalf("%q, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r smart.Reading
		about, err := r.Smartctl(b)
		if err != nil && (about.Names != nil || about.Asleep != "") {
			t.Errorf("half a result: %+v, %v", about, err)
		}
	})
}
