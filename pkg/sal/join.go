package sal

import "encoding/binary"

// Join asks to add a flow to a connection, or with Ack set (JOINACK) accepts.
type Join struct {
	Ack        bool     // JOINACK
	Flow       FlowID   // any live flow of the peer's connection; in a JOINACK, the new flow of the JOIN's sender
	Source     FlowID   // the sender's new flow
	Index      uint8    // index of the new flow within the connection
	Nonce      [16]byte // fresh in each packet; salts the new flow's keys
	MAC        [16]byte // over AppendMACInput, with a key of the connection
	Extensions Extensions
}

// Append appends the packet.
func (p *Join) Append(b []byte) []byte {
	b = p.appendClear(b)
	b = append(b, p.MAC[:]...)
	return appendLong(b, p.Extensions)
}

// AppendMACInput appends what the MAC covers: every other byte of the packet.
func (p *Join) AppendMACInput(b []byte) []byte {
	return appendLong(p.appendClear(b), p.Extensions)
}

func (p *Join) appendClear(b []byte) []byte {
	t := TypeJoin
	if p.Ack {
		t = TypeJoinAck
	}
	b = append(b, firstByte(t), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flow))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Source))
	b = append(b, p.Index)
	return append(b, p.Nonce[:]...)
}

// ParseJoin parses a JOIN or a JOINACK. The caller checks the MAC.
func ParseJoin(b []byte) (Join, error) {
	t := TypeJoin
	if got, err := PeekType(b); err == nil && got == TypeJoinAck {
		t = got
	}
	r, _ := long(b, t)
	p := Join{Ack: t == TypeJoinAck, Flow: FlowID(r.u32()), Source: FlowID(r.u32()), Index: r.u8()}
	copy(p.Nonce[:], r.take(len(p.Nonce)))
	copy(p.MAC[:], r.take(len(p.MAC)))
	p.Extensions = r.extensions(int(r.u16()))
	if r.err == nil && p.Source == 0 {
		r.fail(errFlow)
	}
	if err := r.end(); err != nil {
		return Join{}, err
	}
	return p, nil
}
