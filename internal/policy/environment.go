package policy

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/shoji-dns/shoji/ledger"
)

// evidenceType is the type of the variable evidence in conditions.
var evidenceType = cel.ObjectType("shoji.Evidence")

// view is the variable evidence: what there is, and the moment of the decision. It converts
// to other types as CEL's null does: not at all.
type view struct {
	ref.Val
	evidence []Evidence
	now      time.Time
}

// Equal implements ref.Val.
func (v *view) Equal(other ref.Val) ref.Val { return types.Bool(other == ref.Val(v)) }

// Type implements ref.Val.
func (*view) Type() ref.Type { return evidenceType }

// Value implements ref.Val.
func (v *view) Value() any { return v }

// anyAge is a span that every piece of evidence lies within, dated or not.
const anyAge = time.Duration(-1)

// count is how many groups of sources give evidence of a kind; counted says which pieces count.
func (v *view) count(kind string, within time.Duration, counted func(*Evidence) bool) int64 {
	var groups [ledger.MaxEvidence]string
	n := 0
	for i := range v.evidence {
		e := &v.evidence[i]
		if e.Kind != kind || !v.within(e, within) || !counted(e) || slices.Contains(groups[:n], e.group()) || n == len(groups) {
			continue
		}
		groups[n] = e.group()
		n++
	}
	return int64(n)
}

// within reports whether evidence was last seen within a span before the decision.
// What was seen after it is from a clock that is ahead, and counts as just seen.
func (v *view) within(e *Evidence, span time.Duration) bool {
	if span == anyAge {
		return true
	}
	seen := e.lastSeen()
	return !seen.IsZero() && v.now.Sub(seen) <= span
}

func (v *view) only(kinds traits.Lister) ref.Val {
	for i := range v.evidence {
		if kinds.Contains(types.String(v.evidence[i].Kind)) != types.True {
			return types.False
		}
	}
	return types.Bool(len(v.evidence) > 0)
}

// anyEvidence counts every piece of evidence.
func anyEvidence(*Evidence) bool { return true }

func refersToSample(e *Evidence) bool { return IsSample(e.Reference) }

// counting binds a function of a kind, and of a kind and a span.
func counting(name string, result *cel.Type, counted func(*Evidence) bool, give func(int64) ref.Val) cel.EnvOption {
	call := func(v, kind ref.Val, within time.Duration) ref.Val {
		return give(v.(*view).count(string(kind.(types.String)), within, counted))
	}
	return cel.Function(name,
		cel.MemberOverload(name+"_kind", []*cel.Type{evidenceType, cel.StringType}, result,
			cel.BinaryBinding(func(v, kind ref.Val) ref.Val { return call(v, kind, anyAge) })),
		cel.MemberOverload(name+"_kind_within", []*cel.Type{evidenceType, cel.StringType, cel.DurationType}, result,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return call(args[0], args[1], max(args[2].(types.Duration).Duration, 0))
			})))
}

// environment is what conditions are compiled in: the standard library, the variables of
// the package comment, and the document's ages.
func environment(ages map[string]time.Duration) (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.Variable("name", cel.StringType), cel.Variable("labels", cel.IntType), cel.Variable("prefix", cel.StringType),
		cel.Variable("families", cel.ListType(cel.StringType)), cel.Variable("rank", cel.IntType),
		cel.Variable("evidence", evidenceType),
		counting("has", cel.BoolType, anyEvidence, func(n int64) ref.Val { return types.Bool(n > 0) }),
		counting("sources", cel.IntType, anyEvidence, func(n int64) ref.Val { return types.Int(n) }),
		counting("samples", cel.IntType, refersToSample, func(n int64) ref.Val { return types.Int(n) }),
		cel.Function("only", cel.MemberOverload("only_kinds", []*cel.Type{evidenceType, cel.ListType(cel.StringType)}, cel.BoolType,
			cel.BinaryBinding(func(v, kinds ref.Val) ref.Val { return v.(*view).only(kinds.(traits.Lister)) }))),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateRegexLiterals(), cel.ValidateHomogeneousAggregateLiterals(),
			cel.ValidateComprehensionNestingLimit(1)),
	}
	for name := range ages {
		options = append(options, cel.Variable("ages."+name, cel.DurationType))
	}
	return cel.NewEnv(options...)
}

// compile makes a program of a condition.
func compile(env *cel.Env, when string) (cel.Program, error) {
	if len(when) > MaxCondition {
		return nil, fmt.Errorf("the condition is longer than %d octets", MaxCondition)
	}
	tree, issues := env.Compile(when)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if tree.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("the condition yields %s, not bool", tree.OutputType())
	}
	if err := checkKinds(tree.NativeRep()); err != nil {
		return nil, err
	}
	worst, err := env.EstimateCost(tree, sizes{})
	if err != nil {
		return nil, err
	}
	if worst.Max > MaxCost {
		return nil, fmt.Errorf("the condition may cost %d steps, more than %d", worst.Max, MaxCost)
	}
	return env.Program(tree, cel.EvalOptions(cel.OptOptimize))
}

// checkKinds refuses kinds of evidence that are not written out, or that do not exist: CEL's
// types cannot tell.
func checkKinds(tree *ast.AST) error {
	calls := ast.MatchDescendants(ast.NavigateAST(tree), ast.KindMatcher(ast.CallKind))
	for _, e := range calls {
		call := e.AsCall()
		if !call.IsMemberFunction() || tree.GetType(call.Target().ID()).String() != evidenceType.String() {
			continue
		}
		given := call.Args()[:1]
		if given[0].Kind() == ast.ListKind {
			given = given[0].AsList().Elements()
		}
		for _, arg := range given {
			if arg.Kind() != ast.LiteralKind {
				return fmt.Errorf("%s: the kind must be written out, as in %s(%q)", call.FunctionName(), call.FunctionName(), C2)
			}
			if kind, _ := arg.AsLiteral().Value().(string); !slices.Contains(kinds, kind) {
				return fmt.Errorf("%s: %q is no kind of evidence; the kinds are %v", call.FunctionName(), kind, kinds)
			}
		}
	}
	return nil
}

// sizes tells CEL's estimate of a condition's cost how large the variables can be.
type sizes struct{}

// EstimateSize implements cost.Estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	switch {
	case path[0] == "families" && len(path) == 1:
		return &cost.SizeEstimate{Max: ledger.MaxEvidence}
	case path[0] == "families":
		return &cost.SizeEstimate{Max: ledger.MaxText}
	case path[0] == "name", path[0] == "prefix":
		return &cost.SizeEstimate{Max: maxNameText}
	}
	return nil
}

// maxNameText is the longest name in presentation form: 255 octets, each escaped in four characters.
const maxNameText = 4 * 255

// EstimateCallCost implements cost.Estimator.
func (sizes) EstimateCallCost(function, _ string, target *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if target == nil || (*target).Type().String() != evidenceType.String() {
		return nil
	}
	return &cost.CallEstimate{CostEstimate: cost.Estimate{Min: 1, Max: ledger.MaxEvidence}}
}

// activity holds the variables of one decision.
type activity struct {
	p      *Policy
	s      *Subject
	view   view
	facts  bool // the fields below are set
	family ref.Val
	rank   types.Int
	labels types.Int
}

func (a *activity) set(p *Policy, s *Subject, now time.Time) {
	*a = activity{p: p, s: s, view: view{Val: types.NullValue, evidence: s.Evidence, now: now}}
}

// ResolveName implements CEL's activation.
func (a *activity) ResolveName(name string) (any, bool) {
	switch name {
	case "evidence":
		return &a.view, true
	case "name":
		return types.String(a.s.Name), true
	case "prefix":
		if !a.s.Prefix.IsValid() {
			return types.String(""), true
		}
		return types.String(a.s.Prefix.String()), true
	case "rank", "labels", "families":
		return a.fact(name), true
	}
	const ages = "ages."
	if len(name) > len(ages) && name[:len(ages)] == ages {
		d, ok := a.p.Ages[name[len(ages):]]
		return types.Duration{Duration: d}, ok
	}
	return nil, false
}

// fact is a variable that has to be worked out, once in a decision.
func (a *activity) fact(name string) ref.Val {
	if !a.facts {
		a.facts = true
		a.rank, a.labels = types.Int(a.s.rank()), types.Int(a.s.labels())
		a.family = types.NewStringList(types.DefaultTypeAdapter, a.s.families())
	}
	switch name {
	case "rank":
		return a.rank
	case "labels":
		return a.labels
	}
	return a.family
}

// Parent implements CEL's activation.
func (*activity) Parent() cel.Activation { return nil }

// activityPool spares an allocation for each decision.
type activityPool struct{ pool sync.Pool }

func (p *activityPool) get() *activity {
	if a, ok := p.pool.Get().(*activity); ok {
		return a
	}
	return new(activity)
}

func (p *activityPool) put(a *activity) {
	*a = activity{} // keeps nobody's evidence alive
	p.pool.Put(a)
}
