package main

import "fmt"

// suite is a row of ids: a letter and the numbers from 1.
type suite struct {
	letter string
	cases  int
}

// suites are the cases that tests must have.
var suites = []suite{{"T", 36}, {"U", 5}, {"B", 7}, {"H", 2}, {"D", 12}, {"G", 18}}

// allowed are cases that may be missing, and why.
var allowed = map[string]string{
	"T34": "Parley has no file server",
	"B7":  "Go has no error that a thread survives: a fatal one ends the program, and a panic is U4",
}

// expected returns the ids of all cases, in order.
func expected() []string {
	var ids []string
	for _, s := range suites {
		for n := range s.cases {
			ids = append(ids, fmt.Sprintf("%s%d", s.letter, n+1))
		}
	}
	return append(ids, "V")
}
