package gitops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A health is what an Argo CD health script says of an object.
type health struct {
	Status, Message string
}

// argoHealth runs a health script as Argo CD does (util/lua of v3.6): the object is the global obj, the script returns a table,
// it has a second, and of Lua's libraries there are the base, package and table, and of os the clock.
func argoHealth(script string, object map[string]any) (health, error) {
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return health{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l.SetContext(ctx)
	l.SetGlobal("obj", luaValue(l, object))
	if err := l.DoString(script); err != nil {
		return health{}, err
	}
	table, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("the script returned a %s, and Argo CD wants a table", l.Get(-1).Type())
	}
	status, ok1 := table.RawGetString("status").(lua.LString)
	message, ok2 := table.RawGetString("message").(lua.LString)
	if !ok1 || !ok2 {
		return health{}, errors.New("the script returned a table without status and message")
	}
	return health{string(status), string(message)}, nil
}

// luaValue is a value of a JSON document as Argo CD hands it over: all numbers are Lua's.
func luaValue(l *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := l.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(luaValue(l, item))
		}
		return table
	case map[string]any:
		table := l.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, luaValue(l, item))
		}
		return table
	}
	return lua.LNil
}

// script is the health script that the repository ships.
func script(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "/config/argocd/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// argo is what the script says of a session.
func argo(t *testing.T, o *unstructured.Unstructured) health {
	t.Helper()
	h, err := argoHealth(script(t), o.Object)
	if err != nil {
		t.Fatalf("%v of\n%v", err, o.Object)
	}
	return h
}
