package rendering

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"unicode"
)

// repeat, replace, indent, nindent, join, split and splitn are the library's functions of these names, but they look at the size of
// their result before they make it: it is not in proportion to their arguments.

func repeat(count int, text string) (string, error) {
	switch {
	case count < 0:
		return "", because(Unsuitable)
	case text != "" && count > maxText/len(text):
		return "", because(TooLarge)
	}
	return strings.Repeat(text, count), nil
}

func replace(from, to, text string) (string, error) {
	if grown := len(text) + strings.Count(text, from)*(len(to)-len(from)); grown > maxText {
		return "", because(TooLarge)
	}
	return strings.ReplaceAll(text, from, to), nil
}

func indent(spaces int, text string) (string, error) {
	if spaces < 0 {
		return "", because(Unsuitable)
	}
	if spaces > maxText || len(text)+spaces*(1+strings.Count(text, "\n")) > maxText {
		return "", because(TooLarge)
	}
	margin := strings.Repeat(" ", spaces)
	return margin + strings.ReplaceAll(text, "\n", "\n"+margin), nil
}

func nindent(spaces int, text string) (string, error) {
	indented, err := indent(spaces, text)
	return "\n" + indented, err
}

func join(separator string, list any) (string, error) {
	var parts []string
	switch list := list.(type) {
	case []string:
		parts = list
	case []any:
		for _, element := range list {
			if element != nil {
				parts = append(parts, fmt.Sprint(element))
			}
		}
	default:
		return "", because(Unsuitable)
	}
	if len(separator)*len(parts) > maxText {
		return "", because(TooLarge)
	}
	return strings.Join(parts, separator), nil
}

// splitAll names the parts of a text _0, _1 and so on.
func splitAll(separator, text string) (map[string]any, error) { return splitSome(separator, -1, text) }

// splitSome is splitAll into at most so many parts; a negative number is for all.
func splitSome(separator string, parts int, text string) (map[string]any, error) {
	if strings.Count(text, separator) > maxText/wordSize {
		return nil, because(TooLarge)
	}
	named := map[string]any{}
	for i, part := range strings.SplitN(text, separator, parts) {
		named[fmt.Sprintf("_%d", i)] = part
	}
	return named, nil
}

// trimAll takes the characters away from both ends of a text.
func trimAll(characters, text string) string {
	unwanted := map[rune]bool{}
	for _, c := range characters {
		unwanted[c] = true
	}
	return strings.TrimFunc(text, func(c rune) bool { return unwanted[c] })
}

func withoutSpace(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return -1
		}
		return c
	}, text)
}

// coalesce is the first value that is not empty, or the empty text.
func coalesce(values ...any) any {
	for _, value := range values {
		if full, ok := template.IsTrue(value); ok && full {
			return value
		}
	}
	return ""
}

// dict makes a dict of pairs. Unlike the library's it takes nothing for a key that is none.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, because(Unsuitable)
	}
	d := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, because(Unsuitable)
		}
		d[key] = pairs[i+1]
	}
	return d, nil
}

// index looks into dicts and lists, one key after the other.
func index(value any, keys ...any) (any, error) {
	for _, key := range keys {
		if name, ok := key.(string); ok {
			d, _ := value.(map[string]any)
			element, ok := d[name]
			if !ok {
				return nil, because(Unsuitable)
			}
			value = element
			continue
		}
		i, ok := key.(int)
		list := reflect.ValueOf(value)
		if !ok || list.Kind() != reflect.Slice || i < 0 || i >= list.Len() {
			return nil, because(Unsuitable)
		}
		value = list.Index(i).Interface()
	}
	return value, nil
}
