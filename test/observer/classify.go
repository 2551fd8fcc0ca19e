package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// example is one session: what was seen, and the view that it was in.
type example struct {
	x        []float64
	filtered bool
}

func (e example) sign() float64 {
	if e.filtered {
		return 1
	}
	return -1
}

// stump says filtered, with weight, where a feature is over a threshold; the other way round
// where weight is negative.
type stump struct {
	feature   int
	threshold float64
	weight    float64
}

func (s stump) vote(x []float64) float64 {
	if x[s.feature] > s.threshold {
		return s.weight
	}
	return -s.weight
}

const (
	rounds = 30 // of boosting
	cuts   = 32 // parts that the values of a feature are cut into
)

// train is discrete AdaBoost over stumps (Freund and Schapire, 1997).
func train(data []example) []stump {
	weights := make([]float64, len(data))
	for i := range weights {
		weights[i] = 1 / float64(len(data))
	}
	columns := columns(data)
	var out []stump
	for range rounds {
		s, wrong := best(data, weights, columns)
		if wrong >= 0.5-1e-9 {
			break
		}
		s.weight *= 0.5 * math.Log((1-wrong+1e-9)/(wrong+1e-9))
		out = append(out, s)
		if wrong < 1e-9 {
			break
		}
		sum := 0.0
		for i, e := range data {
			weights[i] *= math.Exp(-e.sign() * s.vote(e.x))
			sum += weights[i]
		}
		for i := range weights {
			weights[i] /= sum
		}
	}
	return out
}

// column is one feature of all examples.
type column struct {
	thresholds []float64 // ascending
	over       []uint8   // how many of them each example is over
}

// columns puts thresholds between the quantiles of each feature.
func columns(data []example) []column {
	out := make([]column, len(data[0].x))
	values := make([]float64, len(data))
	for f := range out {
		for i, e := range data {
			values[i] = e.x[f]
		}
		slices.Sort(values)
		distinct := slices.Compact(slices.Clone(values))
		n := min(cuts, len(distinct))
		c := column{over: make([]uint8, len(data))}
		for k := 1; k < n; k++ {
			i := k * len(distinct) / n
			c.thresholds = append(c.thresholds, (distinct[i-1]+distinct[i])/2)
		}
		for i, e := range data {
			at, _ := slices.BinarySearch(c.thresholds, e.x[f]) // not over one that it is equal to
			c.over[i] = uint8(at)
		}
		out[f] = c
	}
	return out
}

// best is the stump with the least weight on what it has wrong.
func best(data []example, weights []float64, columns []column) (stump, float64) {
	all := 0.0 // weight of what is wrong where a stump says filtered of all
	for i, e := range data {
		if !e.filtered {
			all += weights[i]
		}
	}
	var found stump
	least := 1.0
	var bins [cuts]float64
	for f, c := range columns {
		clear(bins[:])
		for i, e := range data {
			bins[c.over[i]] += weights[i] * e.sign()
		}
		wrong := all
		for k, t := range c.thresholds {
			wrong += bins[k] // of these it says unfiltered
			if wrong < least {
				least, found = wrong, stump{f, t, 1}
			}
			if 1-wrong < least {
				least, found = 1-wrong, stump{f, t, -1}
			}
		}
	}
	return found, least
}

func guess(stumps []stump, x []float64) bool {
	sum := 0.0
	for _, s := range stumps {
		sum += s.vote(x)
	}
	return sum > 0
}

// crossFit trains on one half and tests on the other, both ways, and returns how many sessions
// were told right, and the feature that the first classifier looked at first (-1: none). The two
// plays of one session, which follow one another in data, stay together: they differ by the view
// and are alike in all else, so a classifier that learned from one would guess the other one wrong.
func crossFit(data []example, rng *rand.Rand) (right, tell int) {
	pairs := slices.Collect(slices.Chunk(data, 2))
	rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	half := len(pairs) / 2
	first, second := slices.Concat(pairs[:half]...), slices.Concat(pairs[half:]...)
	tell = -1
	for i, part := range [][2][]example{{first, second}, {second, first}} {
		stumps := train(part[0])
		if i == 0 && len(stumps) > 0 {
			tell = stumps[0].feature
		}
		for _, e := range part[1] {
			if guess(stumps, e.x) == e.filtered {
				right++
			}
		}
	}
	return right, tell
}

// wilson is the 95% interval of a share of right out of n (Wilson, 1927).
func wilson(right, n int) (low, high float64) {
	const z = 1.959964
	p, m := float64(right)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return mid - half, mid + half
}
