// Package client reaches endpoints of other Envs: it dials, keeps one session to each address, and carries the messages of
// Refs. It hosts nothing; package server does that, and package parley joins the two. Most programs use package parley
// only.
package client
