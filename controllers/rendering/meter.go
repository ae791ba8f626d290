package rendering

import (
	"reflect"
)

// meter counts what the functions of one rendering handle.
type meter struct{ left int }

func (m *meter) spend(n int) error {
	if m.left -= n; m.left < 0 {
		return because(TooMuchWork)
	}
	return nil
}

// metered is a function with its arguments and its result bounded. The function itself must not take longer, nor need
// more memory, than in proportion to these. It returns one value, and an error or none.
func (m *meter) metered(function any) any {
	f := reflect.ValueOf(function)
	of := f.Type()
	in := make([]reflect.Type, of.NumIn())
	for i := range in {
		in[i] = of.In(i)
	}
	failure := reflect.TypeFor[error]()
	wrapper := reflect.FuncOf(in, []reflect.Type{of.Out(0), failure}, of.IsVariadic())
	return reflect.MakeFunc(wrapper, func(arguments []reflect.Value) []reflect.Value {
		fail := func(err error) []reflect.Value {
			return []reflect.Value{reflect.Zero(of.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		if err := m.admit(arguments); err != nil {
			return fail(err)
		}
		call := f.Call
		if of.IsVariadic() {
			call = f.CallSlice
		}
		results := call(arguments)
		if len(results) > 1 && !results[1].IsNil() {
			return []reflect.Value{results[0], results[1]}
		}
		size := sizeOf(results[0].Interface(), maxText)
		if size > maxText {
			return fail(because(TooLarge))
		}
		if err := m.spend(size); err != nil {
			return fail(err)
		}
		return []reflect.Value{results[0], reflect.Zero(failure)}
	}).Interface()
}

// admit bounds the arguments of a call.
func (m *meter) admit(arguments []reflect.Value) error {
	size := callWork
	for _, argument := range arguments {
		size += sizeOf(argument.Interface(), maxArguments)
		if size > maxArguments {
			return because(TooLarge)
		}
	}
	return m.spend(size)
}

// wordSize is what a value counts as, whatever it is, so that a thousand empty texts are not nothing.
const wordSize = 16

// sizeOf is the size of a value, with what it holds counted as often as it would be printed. Beyond a limit it stops
// counting: a list that holds the same list twice, and so on, is soon too large to count.
func sizeOf(value any, limit int) int {
	size := wordSize
	switch v := value.(type) {
	case string:
		size += len(v)
	case []string:
		for _, text := range v {
			size += wordSize + len(text)
		}
	case []any:
		for _, element := range v {
			if size > limit {
				break
			}
			size += sizeOf(element, limit-size)
		}
	case map[string]any:
		for key, element := range v {
			if size > limit {
				break
			}
			size += len(key) + sizeOf(element, limit-size-len(key))
		}
	}
	return size
}
