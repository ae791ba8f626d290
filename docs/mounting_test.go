package docs_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
)

// The rows of the table in mounting.md follow from the formula above it.
func TestPercentagesLeaveTimeForTheKubelet(t *testing.T) {
	const (
		delay, reserve             = 90, 18 // seconds
		least, byDefault, greatest = 10, 67, 90
	)
	rows := regexp.MustCompile(`(?m)^\| (\d+) min \| (\d+) \| (\d+) s(: too little)? \|$`).FindAllStringSubmatch(read(t, "mounting.md"), -1)
	if len(rows) < 5 {
		t.Fatalf("found %d rows: has the table another form?", len(rows))
	}
	for _, row := range rows {
		minutes, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		lifetime := 60 * minutes
		percent := min(greatest, 100*(lifetime-delay-reserve)/lifetime)
		if percent < least {
			t.Errorf("%d min are too short for any percentage", minutes)
		}
		left := lifetime * (100 - byDefault) / 100
		verdict := ""
		if left < delay+reserve {
			verdict = ": too little"
		}
		if want := fmt.Sprintf("| %d min | %d | %d s%s |", minutes, percent, left, verdict); row[0] != want {
			t.Errorf("the table has %s, and the formula gives %s", row[0], want)
		}
	}
}
