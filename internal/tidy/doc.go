// Package tidy holds the house's own rules as tests. They parse the sources of
// the whole module and need nothing but the standard library.
//
//   - The picture in ARCHITECTURE.md is the only list of packages and of what
//     each may import. The test reads it from there, so the page cannot be wrong.
//   - Uniformity: the packages that decide what is answered have no type that
//     could hold a client's address, and no way to a socket.
//   - Functions fit a screen and files fit a head. What does not is written down
//     with its size, and that list may only shrink.
//   - No init functions, no global state, no values in contexts, no packages that
//     are named for being shared.
//   - Every package says what it is; every parser has a fuzz test.
//   - The repository speaks of the project alone.
//
// Every rule is tried on a bad sample too, so none can pass by looking at nothing.
package tidy
