// How the command reaches a service: in plaintext or over TLS, with a bearer token or without.
#ifndef UNMASK_CLI_CHANNEL_H_
#define UNMASK_CLI_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>

#include "cli/credentials.h"

namespace unmask {

// Never through a proxy. With a CA over TLS, at least 1.2: the server's certificate must lead to the CA and name the
// host of `address`. The files are read anew each second, for later connections.
std::shared_ptr<grpc::Channel> Dial(const std::string& address, const Credentials& credentials,
                                    grpc::ChannelArguments arguments);

// Shows the token, if there is one.
void Authorize(const Credentials& credentials, grpc::ClientContext* call);

}  // namespace unmask

#endif  // UNMASK_CLI_CHANNEL_H_
