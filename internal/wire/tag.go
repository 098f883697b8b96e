package wire

// Wire types, as the low three bits of a tag.
const (
	varint = 0
	length = 2
)

// Tags of the fields of a Frame.
const (
	tagNumber    = 1<<3 | varint
	tagEnvelopes = 2<<3 | length
	tagAck       = 3<<3 | varint
	tagCredits   = 4<<3 | length
	tagHello     = 5<<3 | length
	tagWelcome   = 6<<3 | length
	tagRefusal   = 7<<3 | length
	tagPing      = 8<<3 | length
	tagPong      = 9<<3 | length
	tagDrain     = 10<<3 | length
	tagAge       = 11<<3 | varint
)

// Tags of the fields of a Credit.
const (
	tagCreditEnvID         = 1<<3 | length
	tagCreditEndpoint      = 2<<3 | length
	tagCreditMessages      = 3<<3 | varint
	tagCreditBytes         = 4<<3 | varint
	tagCreditTransferBytes = 5<<3 | varint
)

// tagToken is the only field of a Ping and of a Pong.
const tagToken = 1<<3 | varint

// Tags that mean the same in several kinds of envelope.
const (
	tagID        = 1<<3 | varint
	tagStatus    = 2<<3 | length
	tagTrailer   = 4<<3 | length
	tagRemaining = 4<<3 | varint
	tagMetadata  = 5<<3 | length

	tagDestinationRoute  = 2<<3 | varint
	tagDestinationTarget = 3<<3 | length

	tagPayloadProto    = 6<<3 | length
	tagPayloadJSON     = 7<<3 | length
	tagPayloadTransfer = 8<<3 | length
)

// Tags that only one or two kinds have.
const (
	tagReplyHeader      = 3<<3 | length
	tagRouteNumber      = 1<<3 | varint
	tagRouteTarget      = 2<<3 | length
	tagLookupEnvID      = 2<<3 | length
	tagLookupEndpoint   = 3<<3 | length
	tagLookupService    = 4<<3 | length
	tagChunkData        = 2<<3 | length
	tagHeadersWindow    = 6<<3 | varint
	tagHeadersCallee    = 7<<3 | varint
	tagMessageCallee    = 2<<3 | varint
	tagWindowCallee     = 3<<3 | varint
	tagWindowBytes      = 2<<3 | varint
	tagWatchEnvID       = 2<<3 | length
	tagWatchEndpoint    = 3<<3 | length
	tagTerminatedReason = 2<<3 | varint
	tagByeStatus        = 1<<3 | length
)

// Tags of the fields of a Target, a Metadata and a Transfer.
const (
	tagTargetEnvID    = 1<<3 | length
	tagTargetEndpoint = 2<<3 | length
	tagTargetMethod   = 3<<3 | length

	tagMetadataKey    = 1<<3 | length
	tagMetadataValue  = 2<<3 | length
	tagMetadataBinary = 3<<3 | length

	tagTransferID   = 1<<3 | varint
	tagTransferSize = 2<<3 | varint
)
