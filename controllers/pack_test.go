package controllers

import (
	"strings"
	"testing"
	"unsafe"
)

func TestPackedStringsLieSideBySide(t *testing.T) {
	name, none, version := strings.Clone("billing"), "", strings.Clone("42")
	pack(&name, &none, &version)
	if name != "billing" || none != "" || version != "42" {
		t.Fatalf("they are %q, %q and %q now", name, none, version)
	}
	if gap := address(version) - address(name); gap != uintptr(len(name)) {
		t.Errorf("%d bytes lie between their beginnings, want %d", gap, len(name))
	}
}

func TestPackingNothingIsNothing(t *testing.T) {
	none := ""
	pack()
	pack(&none)
	if none != "" {
		t.Errorf("it is %q now", none)
	}
}

func TestABeginningIsKeptWithTheWhole(t *testing.T) {
	state, session, other := strings.Clone("billing-session"), strings.Clone("billing"), strings.Clone("bill-2")
	within(&session, state)
	within(&other, state)
	if session != "billing" || other != "bill-2" {
		t.Fatalf("they are %q and %q now", session, other)
	}
	if address(session) != address(state) {
		t.Error("what the whole begins with is kept twice")
	}
}

// address tells where a string lies: nothing else tells one string from two equal ones.
func address(text string) uintptr {
	return uintptr(unsafe.Pointer(unsafe.StringData(text))) //nolint:gosec // compared, and no more
}
