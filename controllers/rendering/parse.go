package rendering

import (
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"
)

// templateName is what text/template calls each template in its messages.
const templateName = "template"

// parseTemplate parses a template and refuses what could not be bounded, or does not exist.
func parseTemplate(text string, fields map[string]any, functions template.FuncMap) (*parse.Tree, *Error) {
	if utf8.RuneCountInString(text) > MaxTemplate {
		return nil, &Error{Cause: TooLong}
	}
	tree := parse.New(templateName)
	tree.Mode = parse.SkipFuncCheck // the check below knows where the function stands
	defined := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", defined); err != nil {
		e := &Error{Cause: Malformed}
		e.locate(err.Error())
		return nil, e
	}
	c := checker{text: text, fields: fields, functions: functions}
	if err := c.list(tree.Root, 0, true); err != nil {
		return nil, err
	}
	if len(defined) != 1 || defined[templateName] != tree {
		return nil, &Error{Cause: Defining}
	}
	return tree, nil
}

// checker looks at every node of a template before any of it runs.
type checker struct {
	text      string
	fields    map[string]any
	functions template.FuncMap
}

// at makes an error about a node.
func (c checker) at(n parse.Node, cause Cause) *Error {
	before := c.text[:n.Position()]
	return &Error{
		Line:   1 + strings.Count(before, "\n"),
		Column: len(before) - strings.LastIndexByte(before, '\n'),
		Cause:  cause,
	}
}

func (c checker) list(l *parse.ListNode, depth int, top bool) *Error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := c.node(n, depth+1, top); err != nil {
			return err
		}
	}
	return nil
}

// node checks a node and all below it. At the top, the dot is the values; within a with, it is something else.
func (c checker) node(n parse.Node, depth int, top bool) *Error {
	if depth > maxDepth {
		return c.at(n, TooDeep)
	}
	switch n := n.(type) {
	case *parse.ActionNode:
		return c.pipe(n.Pipe, depth, top)
	case *parse.IfNode:
		return c.branch(&n.BranchNode, depth, top, top)
	case *parse.WithNode:
		return c.branch(&n.BranchNode, depth, top, false)
	case *parse.PipeNode:
		return c.pipe(n, depth, top)
	case *parse.ChainNode:
		return c.node(n.Node, depth+1, top)
	default:
		return c.leaf(n, top)
	}
}

// leaf checks a node with nothing below it that would matter.
func (c checker) leaf(n parse.Node, top bool) *Error {
	switch n := n.(type) {
	case *parse.FieldNode:
		if top && c.fields[n.Ident[0]] == nil {
			return c.at(n, UnknownField)
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 && c.fields[n.Ident[1]] == nil {
			return c.at(n, UnknownField)
		}
	case *parse.IdentifierNode:
		if c.functions[n.Ident] == nil && !isBuiltin(n.Ident) {
			return c.at(n, UnknownFunction)
		}
	case *parse.TextNode, *parse.DotNode, *parse.NilNode, *parse.BoolNode, *parse.NumberNode, *parse.StringNode:
	case *parse.TemplateNode:
		return c.at(n, Defining)
	case *parse.RangeNode, *parse.BreakNode, *parse.ContinueNode:
		return c.at(n, Looping)
	default: // of a later Go
		return c.at(n, Malformed)
	}
	return nil
}

func (c checker) pipe(p *parse.PipeNode, depth int, top bool) *Error {
	for _, command := range p.Cmds {
		for _, argument := range command.Args {
			if err := c.node(argument, depth+1, top); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c checker) branch(b *parse.BranchNode, depth int, top, within bool) *Error {
	if err := c.pipe(b.Pipe, depth, top); err != nil {
		return err
	}
	if err := c.list(b.List, depth, within); err != nil {
		return err
	}
	return c.list(b.ElseList, depth, top)
}
