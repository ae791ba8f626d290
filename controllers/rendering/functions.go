package rendering

import (
	"maps"
	"slices"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// fromSprig are the functions that are taken from the library as they are. What is here has no effect, depends on its
// arguments alone, and needs time and memory in proportion to them. Much of the library does not: it reads the
// environment, the network, the clock or random numbers, makes keys, changes its arguments, compiles patterns, or
// multiplies sizes.
func fromSprig() []string {
	return []string{
		"b32enc", "b64enc", "cat", "contains", "default", "empty", "first", "hasPrefix", "hasSuffix", "last", "list",
		"lower", "quote", "sha256sum", "splitList", "squote", "substr", "ternary", "title", "toString", "trim", "trimPrefix",
		"trimSuffix", "trunc", "upper", "urlParse",
	}
}

// builtins are Go's own that stay as they are: each takes a moment, however large its arguments.
func builtins() []string { return []string{"and", "len", "not", "or", "slice"} }

func isBuiltin(name string) bool { return slices.Contains(builtins(), name) }

// functions are all others, metered. Those of Go that are not among them cannot be called.
func (m *meter) functions() template.FuncMap {
	library := sprig.GenericFuncMap()
	all := template.FuncMap{
		// The library's own drop errors.
		"toJson":    library["mustToJson"],
		"toRawJson": library["mustToRawJson"],
		// The library's answers with nil if all is empty, which would be written as <no value>.
		"coalesce": coalesce,
		// The library's, with results that are bounded before they are made.
		"dict":    dict,
		"indent":  indent,
		"join":    join,
		"nindent": nindent,
		"repeat":  repeat,
		"replace": replace,
		// Go's, with results that are bounded before they are made.
		"html":     template.HTMLEscaper,
		"js":       template.JSEscaper,
		"print":    printValues,
		"printf":   printFormatted,
		"println":  printLine,
		"urlquery": template.URLQueryEscaper,
		// Go's, but what is not there is an error, as it is with a dot.
		"index": index,
		// Go's comparisons, for texts and numbers.
		"eq": equal,
		"ge": func(a, b any) (bool, error) { order, err := compare(a, b); return order >= 0, err },
		"gt": func(a, b any) (bool, error) { order, err := compare(a, b); return order > 0, err },
		"le": func(a, b any) (bool, error) { order, err := compare(a, b); return order <= 0, err },
		"lt": func(a, b any) (bool, error) { order, err := compare(a, b); return order < 0, err },
		"ne": func(a, b any) (bool, error) { same, err := equal(a, b); return !same, err },
		// Its name is the library's, which wants a time. Times are texts here.
		"unixEpoch": unixEpoch,
	}
	for _, name := range fromSprig() {
		all[name] = library[name]
	}
	for name, function := range all {
		all[name] = m.metered(function)
	}
	return all
}

// Functions are the names of all functions that templates may call, sorted.
func Functions() []string {
	return slices.Sorted(slices.Values(slices.AppendSeq(builtins(), maps.Keys((&meter{}).functions()))))
}
