package controllers

import "strings"

// pack lets strings lie side by side in one piece of memory. Decoded, each has a piece of its own: that takes more, as memory is
// given out in few sizes, and is one more for the garbage collector to look at.
func pack(texts ...*string) {
	length := 0
	for _, text := range texts {
		length += len(*text)
	}
	var all strings.Builder
	all.Grow(length)
	for _, text := range texts {
		all.WriteString(*text)
	}
	rest := all.String()
	for _, text := range texts {
		*text, rest = rest[:len(*text)], rest[len(*text):]
	}
}

// within lets a string be the beginning of another, if it is.
func within(text *string, whole string) {
	if strings.HasPrefix(whole, *text) {
		*text = whole[:len(*text)]
	}
}
