package rendering

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"time"
)

// repeat, replace, indent, nindent and join are the library's functions of these names, but they look at the size of
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

// unixEpoch is a time in seconds since 1970.
func unixEpoch(text string) (int64, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, because(Unsuitable) // the parser's own error would tell the text
	}
	return t.Unix(), nil
}
