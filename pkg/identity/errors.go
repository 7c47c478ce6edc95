package identity

import "errors"

// Errors that tokens and certificates fail with, for errors.Is. The error that
// is returned says more: what is wrong and what to do.
var (
	ErrTruncated    = errors.New("the text is cut off")
	ErrAltered      = errors.New("the text was altered")
	ErrExpired      = errors.New("the membership has expired")
	ErrNotYetValid  = errors.New("the membership is not valid yet")
	ErrWrongCluster = errors.New("wrong cluster")
	ErrForged       = errors.New("the certificate is not genuine")
	ErrMalformed    = errors.New("malformed certificate")
)
