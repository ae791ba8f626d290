package session

import "testing"

// A step of a refresh that is pure, and so has an exact cost.
type costed struct {
	name string
	// most allocations that one run may make. What runs for each session at each event is worth a number.
	most int
	run  func() error
}

func costs() []costed {
	o := healthy()
	o.Seed = "0b1c9a52-5b6f-4d8c-9d3c-9a1f3f1f2b10"
	text, err := o.Record.Encode()
	if err != nil {
		panic(err)
	}
	kept := Keep(text)
	return []costed{
		{"decide, not due", 3, func() error { _ = Decide(o, fresh); return nil }},
		{"decide, due", 3, func() error { _ = Decide(o, late); return nil }},
		{"encode the record", 8, func() error { _, err := o.Record.Encode(); return err }},
		{"decode the record", 30, func() error { _, err := Decode(text); return err }},
		{"keep the record", 50, func() error { _ = Keep(text); return nil }},
		{"read the kept record", 5, func() error { _, err := kept.Record(); return err }},
	}
}

func BenchmarkCosts(b *testing.B) {
	for _, c := range costs() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestCostsAreBounded(t *testing.T) {
	for _, c := range costs() {
		t.Run(c.name, func(t *testing.T) {
			got := testing.AllocsPerRun(100, func() {
				if err := c.run(); err != nil {
					t.Fatal(err)
				}
			})
			most := c.most
			if racing {
				most += most / 2
			}
			if int(got) > most {
				t.Errorf("%.0f allocations, want %d at most; see BenchmarkCosts", got, most)
			}
		})
	}
}
