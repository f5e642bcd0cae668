//go:build !linux

package main

import "errors"

func readKernel(*machineFacts) {}

func readFilesystem(string) (filesystem, error) { return filesystem{}, errors.ErrUnsupported }
