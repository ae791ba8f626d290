package controllers

import (
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

func TestWordsAreKeptOnce(t *testing.T) {
	w := newWords()
	first, second, empty := strings.Clone("payments"), strings.Clone("payments"), ""
	w.share(&first)
	w.share(&second, &empty)
	if first != "payments" || second != "payments" || empty != "" {
		t.Fatalf("they are %q, %q and %q now", first, second, empty)
	}
	if unsafe.StringData(first) != unsafe.StringData(second) { //nolint:gosec // nothing else tells one string from two equal ones
		t.Error("the same word is kept twice")
	}
}

func TestWordsAreBounded(t *testing.T) {
	w := newWords()
	for i := range 3 * mostWords {
		word := strconv.Itoa(i)
		w.share(&word)
	}
	if len(w.known) > mostWords {
		t.Errorf("%d words are kept, want %d at most", len(w.known), mostWords)
	}
}
