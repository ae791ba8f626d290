package rendering

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
)

// The decoders' own errors tell where a text is wrong, which is something of the text.

func decodeBase64(text string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", because(Unsuitable)
	}
	return string(decoded), nil
}

func decodeBase32(text string) (string, error) {
	decoded, err := base32.StdEncoding.DecodeString(text)
	if err != nil {
		return "", because(Unsuitable)
	}
	return string(decoded), nil
}

// deepest is how deep the lists and dicts of a JSON text on several lines may be nested: each line begins with a margin
// of that depth.
const deepest = 16

// prettyJSON is a value as JSON on several lines.
func prettyJSON(value any) (string, error) {
	if deeper(value, deepest) {
		return "", because(TooNested)
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return "", because(Unsuitable)
	}
	return string(text), nil
}

// deeper reports whether a value holds more levels of lists and dicts than that.
func deeper(value any, levels int) bool {
	if levels < 0 {
		return true
	}
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			if deeper(element, levels-1) {
				return true
			}
		}
	case map[string]any:
		for _, element := range v {
			if deeper(element, levels-1) {
				return true
			}
		}
	}
	return false
}
