package rendering

import "math/big"

func add(numbers ...any) (int64, error)      { return fold((*big.Int).Add, numbers) }
func multiply(numbers ...any) (int64, error) { return fold((*big.Int).Mul, numbers) }
func subtract(a, b any) (int64, error)       { return fold((*big.Int).Sub, []any{a, b}) }

// divide rounds towards zero, as Go does.
func divide(a, b any) (int64, error) {
	if divisor, err := whole(b); err != nil || divisor == 0 {
		return 0, because(Unsuitable)
	}
	return fold((*big.Int).Quo, []any{a, b})
}

// fold calculates with whole numbers from the left to the right. What does not fit in 64 bits is an error at once.
func fold(operation func(result, a, b *big.Int) *big.Int, numbers []any) (int64, error) {
	var result *big.Int
	for _, n := range numbers {
		value, err := whole(n)
		if err != nil {
			return 0, err
		}
		if operand := big.NewInt(value); result == nil {
			result = operand
		} else {
			operation(result, result, operand)
		}
		if !result.IsInt64() {
			return 0, because(Unsuitable)
		}
	}
	if result == nil {
		return 0, because(Unsuitable)
	}
	return result.Int64(), nil
}

func whole(number any) (int64, error) {
	switch n := number.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	}
	return 0, because(Unsuitable)
}
