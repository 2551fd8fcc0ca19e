package resolve

import (
	"hash/maphash"
	"sync"
)

const shardCount = 16

// boundedMap is a sharded map of fixed size. A full shard drops, by the clock
// algorithm, an entry that was not read since the hand last passed it.
type boundedMap[K comparable, V any] struct {
	seed   maphash.Seed
	shards [shardCount]mapShard[K, V]
}

type mapShard[K comparable, V any] struct {
	mu    sync.Mutex
	index map[K]int
	slots []slot[K, V]
	hand  int
	size  int
}

type slot[K comparable, V any] struct {
	key   K
	value V
	used  bool
	live  bool
}

func newBoundedMap[K comparable, V any](size int) *boundedMap[K, V] {
	m := &boundedMap[K, V]{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].index = make(map[K]int)
		m.shards[i].size = max(size/shardCount, 1)
	}
	return m
}

func (m *boundedMap[K, V]) shard(k K) *mapShard[K, V] {
	return &m.shards[maphash.Comparable(m.seed, k)%shardCount]
}

func (m *boundedMap[K, V]) get(k K) (v V, ok bool) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[k]
	if !ok {
		return v, false
	}
	s.slots[i].used = true
	return s.slots[i].value, true
}

func (m *boundedMap[K, V]) put(k K, v V) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(k, v)
}

// update puts what f makes of the value of k, and returns it.
func (m *boundedMap[K, V]) update(k K, f func(have V, ok bool) V) V {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	var have V
	i, ok := s.index[k]
	if ok {
		have = s.slots[i].value
	}
	v := f(have, ok)
	s.put(k, v)
	return v
}

// getOrPut returns the value of k, made by create where there was none.
func (m *boundedMap[K, V]) getOrPut(k K, create func() V) V {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index[k]; ok {
		s.slots[i].used = true
		return s.slots[i].value
	}
	v := create()
	s.put(k, v)
	return v
}

func (s *mapShard[K, V]) put(k K, v V) {
	i, ok := s.index[k]
	if !ok {
		i = s.free()
		s.index[k] = i
	}
	s.slots[i] = slot[K, V]{key: k, value: v, used: ok, live: true}
}

// free finds a slot for a new entry.
func (s *mapShard[K, V]) free() int {
	if len(s.slots) < s.size {
		s.slots = append(s.slots, slot[K, V]{})
		return len(s.slots) - 1
	}
	for {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		e := &s.slots[i]
		if e.live && e.used {
			e.used = false
			continue
		}
		if e.live {
			delete(s.index, e.key)
		}
		return i
	}
}

// remove drops k where its value still satisfies same.
func (m *boundedMap[K, V]) remove(k K, same func(V) bool) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index[k]; ok && same(s.slots[i].value) {
		delete(s.index, k)
		s.slots[i] = slot[K, V]{}
	}
}
