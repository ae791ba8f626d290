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
		"abbrev", "abbrevboth", "adler32sum", "b32enc", "b64enc", "camelcase", "cat", "compact", "contains", "default", "empty",
		"first", "get", "has", "hasKey", "hasPrefix", "hasSuffix", "initial", "initials", "kebabcase", "last", "list", "lower",
		"plural", "quote", "rest", "reverse", "sha1sum", "sha256sum", "sha512sum", "snakecase", "sortAlpha", "splitList",
		"squote", "substr", "swapcase", "ternary", "title", "toString", "trim", "trimPrefix", "trimSuffix", "trunc", "untitle",
		"upper", "urlJoin", "urlParse", "wrap",
	}
}

// builtins are Go's own that stay as they are: each takes a moment, however large its arguments.
func builtins() []string { return []string{"and", "len", "not", "or", "slice"} }

func isBuiltin(name string) bool { return slices.Contains(builtins(), name) }

// functions are all others, metered. Those of Go that are not among them cannot be called.
func (m *meter) functions() template.FuncMap {
	library := sprig.GenericFuncMap()
	all := template.FuncMap{
		// The library's own drop errors, or write them into the value.
		"b32dec":       decodeBase32,
		"b64dec":       decodeBase64,
		"toJson":       library["mustToJson"],
		"toPrettyJson": prettyJSON,
		"toRawJson":    library["mustToRawJson"],
		// The library's takes what is no number for 0, and what is too large for something smaller.
		"add": add,
		"div": divide,
		"mul": multiply,
		"sub": subtract,
		// The library's answers with nil if all is empty, which would be written as <no value>.
		"coalesce": coalesce,
		// The library's, with results that are bounded before they are made.
		"dict":    dict,
		"indent":  indent,
		"join":    join,
		"nindent": nindent,
		"repeat":  repeat,
		"replace": replace,
		"split":   splitAll,
		"splitn":  splitSome,
		// The library's takes time in proportion to the text multiplied with the characters.
		"trimAll": trimAll,
		// The library's breaks what is not ASCII.
		"nospace": withoutSpace,
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
		// Their names are the library's, which wants times, and of what is none makes the present one. Times are texts here.
		"date":      date,
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
