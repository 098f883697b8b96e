package main

import (
	"fmt"
	"strings"
	"testing"
)

// events returns the output of go test -json where every expected case that must be there has passed, except those of
// results.
func events(results map[string]string) string {
	var b strings.Builder
	for _, id := range expected() {
		result, ok := results[id]
		if _, may := allowed[id]; !ok && may {
			continue
		}
		if !ok {
			result = "pass"
		}
		if result != "" {
			fmt.Fprintf(&b, `{"Action":"%s","Package":"p/cases","Test":"TestAll/%s_what/remote"}`+"\n", result, id)
			fmt.Fprintf(&b, `{"Action":"%s","Package":"p/cases","Test":"TestAll/%s_what"}`+"\n", result, id)
		}
	}
	return b.String()
}

func TestRun(t *testing.T) {
	tests := []struct {
		name, in, err string
		out           []string
	}{
		{"all there", events(nil), "", []string{"T1   cases.TestAll/T1_what   pass", "B7 ", "none: Go has no error"}},
		{"allowed case is there", events(map[string]string{"T34": "pass"}), "", []string{"T34  cases.TestAll/T34_what  pass"}},
		{"missing", events(map[string]string{"T2": ""}), "T2 missing", []string{"T2 ", "MISSING"}},
		{"only parts", events(map[string]string{"T2": ""}) + `{"Action":"pass","Package":"p/cases","Test":"TestAll/T2_what/remote"}`, "", []string{"T2   cases.TestAll/T2_what   pass"}},
		{"part failed", events(nil) + `{"Action":"fail","Package":"p/cases","Test":"TestAll/T2_what/local"}`, "T2 fail", []string{"T2   cases.TestAll/T2_what   fail"}},
		{"failed", events(map[string]string{"G3": "fail"}), "G3 fail, cases.TestAll/G3_what fail, cases.TestAll/G3_what/remote fail", nil},
		{"skipped", events(map[string]string{"U1": "skip"}), "U1 skip", nil},
		{"allowed case fails", events(map[string]string{"T34": "fail"}), "T34 fail", nil},
		{
			"test without a case fails",
			events(nil) + `{"Action":"output","Package":"p/cases","Test":"TestOther","Output":"why\n"}` + "\n" + `{"Action":"fail","Package":"p/cases","Test":"TestOther"}`,
			"cases.TestOther fail", []string{"why\n"},
		},
		{"package fails and then passes", events(nil) + `{"Action":"fail","Package":"p/cases"}{"Action":"pass","Package":"p/cases"}`, "cases fail", nil},
		{"package does not build", events(nil) + `{"Action":"build-fail","ImportPath":"p/broken"}`, "broken fail", nil},
		{"not JSON", "ok p/cases", "not that of go test -json", nil},
		{"nothing", "", "T1 missing", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(test.in), &out)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("the error is %v, want %q", err, test.err)
			}
			for _, want := range test.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output is\n%s\nand has not %q", &out, want)
				}
			}
		})
	}
}
