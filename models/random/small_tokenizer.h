// The small tokenizer's files (tokenizer.json, tokenizer_config.json of this folder), built into the program.
#ifndef UNMASK_MODELS_RANDOM_SMALL_TOKENIZER_H_
#define UNMASK_MODELS_RANDOM_SMALL_TOKENIZER_H_

namespace unmask {

extern const char kSmallTokenizerJson[];
extern const char kSmallTokenizerConfigJson[];

}  // namespace unmask

#endif  // UNMASK_MODELS_RANDOM_SMALL_TOKENIZER_H_
