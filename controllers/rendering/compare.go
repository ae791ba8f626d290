package rendering

import (
	"cmp"
	"strings"
)

// equal reports whether the first value is equal to any of the others.
func equal(first any, others ...any) (bool, error) {
	if len(others) == 0 {
		return false, because(Unsuitable)
	}
	for _, other := range others {
		if a, ok := first.(bool); ok {
			b, ok := other.(bool)
			if !ok {
				return false, because(Unsuitable)
			}
			if a == b {
				return true, nil
			}
			continue
		}
		order, err := compare(first, other)
		if err != nil || order == 0 {
			return order == 0, err
		}
	}
	return false, nil
}

// compare orders two texts, or two numbers.
func compare(a, b any) (int, error) {
	if a, ok := a.(string); ok {
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), nil
		}
		return -1, because(Unsuitable)
	}
	x, ok := number(a)
	y, also := number(b)
	if !ok || !also {
		return -1, because(Unsuitable)
	}
	return cmp.Compare(x, y), nil
}

// number is the value of a number of any kind that there can be in a template.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
